from sparsebench.corpora.fetch import check_overrides

try:
    check_overrides(GRID.config.corpora, SOURCE / "resources/sources.tsv")
except UserError as mistakes:
    raise WorkflowError(str(mistakes)) from None


localrules:
    fetch_model,
    fetch_corpus,


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
        rope=lambda w: (
            f"--rope {quote(GRID.config.models[w.model].rope.model_dump_json(exclude_none=True))}"
            if GRID.config.models[w.model].rope
            else ""
        ),
    shell:
        "sparsebench fetch-model {wildcards.model} --source {params.source:q} {params.limit} {params.rope}"
        " --folder results/models/{wildcards.model} 2>&1 | tee {log}"


rule fetch_corpus:
    input:
        local_copy,
    output:
        "results/corpora/{corpus}.json",
    log:
        "results/logs/fetch/corpus-{corpus}.log",
    benchmark:
        "results/benchmarks/fetch/corpus-{corpus}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        local=lambda w: (
            f"--copy {quote(GRID.config.corpora[w.corpus])}"
            if w.corpus in GRID.config.corpora
            else ""
        ),
    shell:
        'sparsebench fetch-corpus {wildcards.corpus} --sources "$SPARSEBENCH_SOURCE/resources/sources.tsv"'
        " {params.local} --output {output} 2>&1 | tee {log}"
