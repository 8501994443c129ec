localrules:
    draw_chart,


rule draw_chart:
    input:
        lambda w: tables_of(w.chart),
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
        ' --measured "$SPARSEBENCH_SOURCE"/resources/measurements/*.csv --output {output.html} 2>&1 | tee {log}'
