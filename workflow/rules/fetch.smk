localrules:
    fetch_model,


rule fetch_model:
    output:
        "results/models/{model}/model.json",
    log:
        "results/logs/fetch/{model}.log",
    benchmark:
        "results/benchmarks/fetch/{model}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        source=lambda w: GRID.config.models[w.model]
        .source()
        .model_dump_json(exclude_none=True),
        state=lambda w: GRID.config.models[w.model].source().state(),
        limit=lambda w: (
            f"--max-length {GRID.config.models[w.model].max_length_tok}"
            if GRID.config.models[w.model].max_length_tok
            else ""
        ),
    shell:
        "sparsebench fetch-model {wildcards.model} --source {params.source:q} {params.limit}"
        " --folder results/models/{wildcards.model} 2>&1 | tee {log}"
