localrules:
    overview,


rule overview:
    input:
        tables=expand("results/tables/{table}.arrow", table=TABLES),
        library="results/charts/library.js",
    output:
        report(
            "results/overview.html",
            caption="../report/overview.rst",
            category="Overview",
        ),
    log:
        "results/logs/overview.log",
    benchmark:
        "results/benchmarks/overview.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=CONFIG_JSON,
        source=lambda w: source_digest(
            PACKAGE / "report" / "overview.py",
            *(chart_file(chart) for chart in CHARTS),
        ),
        pages=lambda w: bytes_digest(
            PACKAGE / "charts" / "page.js",
            *sorted(PACKAGE.glob("report/overview.*[!y]")),
            *MEASURED,
        ),
    shell:
        "sparsebench overview --tables results/tables --config {params.config:q}"
        ' --measured "$SPARSEBENCH_SOURCE"/resources/measurements/*.csv --library {input.library}'
        " --output {output} 2>&1 | tee {log}"
