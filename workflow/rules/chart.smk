localrules:
    chart_library,
    draw_chart,


# The same for all pages, and most of the time that drawing one would take.
rule chart_library:
    output:
        "results/charts/library.js",
    log:
        "results/logs/charts/library.log",
    benchmark:
        "results/benchmarks/charts/library.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        source=lambda w: source_digest(PACKAGE / "charts" / "packed.py"),
    shell:
        "sparsebench chart-library --output {output} 2>&1 | tee {log}"


rule draw_chart:
    input:
        tables=lambda w: tables_of(w.chart),
        library="results/charts/library.js",
    output:
        html=report(
            "results/charts/{chart}.html",
            caption="../report/chart.rst",
            category="Charts",
            labels=lambda w: {"chart": chart_constant(w.chart, "TITLE")},
        ),
        svg="results/charts/{chart}.svg",
        png="results/charts/{chart}.png",
    log:
        "results/logs/charts/{chart}.log",
    benchmark:
        "results/benchmarks/charts/{chart}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        caption=lambda w: chart_constant(w.chart, "CAPTION"),
        source=lambda w: source_digest(
            chart_file(w.chart), PACKAGE / "charts" / "render.py"
        ),
        pages=lambda w: bytes_digest(*sorted(PACKAGE.glob("charts/page.*")), *MEASURED),
    shell:
        "sparsebench chart {wildcards.chart} --tables results/tables"
        ' --measured "$SPARSEBENCH_SOURCE"/resources/measurements/*.csv --library {input.library}'
        " --output {output.html} 2>&1 | tee {log}"
