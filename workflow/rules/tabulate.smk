from sparsebench.source import PACKAGE, source_digest


localrules:
    collect_predictions,
    collect_scores,
    accuracy,
    frontier,


rule collect_predictions:
    input:
        cell_tables("predictions"),
    output:
        "results/tables/predictions.arrow",
    log:
        "results/logs/tables/predictions.log",
    benchmark:
        "results/benchmarks/tables/predictions.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=CONFIG_JSON,
    shell:
        "printf '%s\\n' {input} | sparsebench collect predictions --config {params.config:q} --inputs -"
        " --output {output} 2>&1 | tee {log}"


rule collect_scores:
    input:
        cell_tables("scores"),
    output:
        "results/tables/scores.arrow",
    log:
        "results/logs/tables/scores.log",
    benchmark:
        "results/benchmarks/tables/scores.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=CONFIG_JSON,
    shell:
        "printf '%s\\n' {input} | sparsebench collect scores --config {params.config:q} --inputs -"
        " --output {output} 2>&1 | tee {log}"


rule accuracy:
    input:
        "results/tables/scores.arrow",
    output:
        "results/tables/accuracy.arrow",
    log:
        "results/logs/tables/accuracy.log",
    benchmark:
        "results/benchmarks/tables/accuracy.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        source=source_digest(PACKAGE / "stats" / "accuracy.py"),
    shell:
        "sparsebench accuracy --scores {input} --output {output} 2>&1 | tee {log}"


rule frontier:
    input:
        "results/tables/accuracy.arrow",
    output:
        "results/tables/frontier.arrow",
    log:
        "results/logs/tables/frontier.log",
    benchmark:
        "results/benchmarks/tables/frontier.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        source=source_digest(PACKAGE / "stats" / "frontier.py"),
    shell:
        "sparsebench frontier --accuracy {input} --output {output} 2>&1 | tee {log}"
