rule score_cell:
    input:
        predictions="results/predictions/{model}/{prefill}/{task}/{length}.arrow",
        samples=samples_of,
    output:
        "results/scores/{model}/{prefill}/{task}/{length}.arrow",
    log:
        "results/logs/score/{model}/{prefill}/{task}/{length}.log",
    benchmark:
        "results/benchmarks/score/{model}/{prefill}/{task}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: scoring_min(GRID.rows(key_of(w)), attempt),
        bundled=1,
    params:
        task=lambda w: GRID.task(w.task).model_dump_json(),
        source=lambda w: task_digest(GRID.task(w.task)),
    shell:
        "sparsebench score --task {params.task:q} --predictions {input.predictions}"
        " --samples {input.samples} --output {output} 2>&1 | tee {log}"
