rule synthesise_task:
    input:
        model="results/models/{tokenizer}/model.json",
        corpora=lambda w: load_task(GRID.task(w.task)).files(),
    output:
        "results/samples/{tokenizer}/{task}/{length}.arrow",
    log:
        "results/logs/synthesise/{tokenizer}/{task}/{length}.log",
    benchmark:
        "results/benchmarks/synthesise/{tokenizer}/{task}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: synthesis_min(
            GRID.task(w.task).samples, int(w.length), attempt
        ),
        bundled=1,
    params:
        task=lambda w: GRID.task(w.task).model_dump_json(),
        source=lambda w: task_digest(GRID.task(w.task)),
    shell:
        "sparsebench synthesise --task {params.task:q} --tokenizer {wildcards.tokenizer}"
        " --model {input.model} --length {wildcards.length} --output {output} 2>&1 | tee {log}"
