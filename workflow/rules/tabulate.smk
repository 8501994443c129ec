import json

from sparsebench.source import PACKAGE, source_digest
from sparsebench.stats.derived import inputs_of, module_of


localrules:
    collect_predictions,
    collect_scores,
    model_table,
    derive_table,


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


rule model_table:
    input:
        expand("results/models/{model}/model.json", model=GRID.config.models),
    output:
        "results/tables/models.arrow",
    log:
        "results/logs/tables/models.log",
    benchmark:
        "results/benchmarks/tables/models.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        tokenizers=json.dumps({m: GRID.tokenizer(m) for m in GRID.config.models}),
        source=lambda w: source_digest(PACKAGE / "cost" / "models.py"),
    shell:
        "sparsebench models --models {input} --tokenizers {params.tokenizers:q} --output {output} 2>&1 | tee {log}"


# Every table that is made from others; stats/derived.py says which from which.
rule derive_table:
    input:
        lambda w: expand("results/tables/{table}.arrow", table=inputs_of(w.derived)),
    output:
        "results/tables/{derived}.arrow",
    log:
        "results/logs/tables/{derived}.log",
    benchmark:
        "results/benchmarks/tables/{derived}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        methods=lambda w: GRID.methods().model_dump_json(),
        analysis=GRID.config.analysis.model_dump_json(),
        source=lambda w: source_digest(module_of(w.derived)),
    shell:
        "sparsebench tabulate {wildcards.derived} --tables results/tables --methods {params.methods:q}"
        " --analysis {params.analysis:q} --output {output} 2>&1 | tee {log}"
