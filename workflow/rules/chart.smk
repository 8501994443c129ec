localrules:
    draw_chart,


rule draw_chart:
    input:
        expand("results/tables/{table}.arrow", table=TABLES),
    output:
        html=report(
            "results/charts/{chart}.html",
            caption="../report/chart.rst",
            category="Charts",
            labels={"chart": "{chart}"},
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
        caption=lambda w: caption_of(w.chart),
        source=lambda w: source_digest(chart_file(w.chart)),
    shell:
        "sparsebench chart {wildcards.chart} --tables results/tables --output {output.html} 2>&1 | tee {log}"
