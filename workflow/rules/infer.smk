# The journal is no output: Snakemake deletes the outputs of a failed job, and finished rows must outlive it.
rule infer_cell:
    input:
        model="results/models/{model}/model.json",
        samples=samples_of,
    output:
        "results/predictions/{model}/{prefill}/{task}/{length}.arrow",
    log:
        "results/logs/infer/{model}/{prefill}/{task}/{length}.log",
    benchmark:
        "results/benchmarks/infer/{model}/{prefill}/{task}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: GRID.config.engine.threads
    resources:
        mem_mb=lambda w, input, attempt: size_of(w, input, memory_mb, attempt),
        runtime=lambda w, input, threads, attempt: size_of(
            w, input, runtime_min, threads, attempt
        ),
        gpu=lambda w: GRID.gpu_request(w.model)[0],
        gres=lambda w: GRID.gpu_request(w.model)[1],
        nodes=1,
        # No parameters: another batch or more GPUs leave finished cells as they are.
        room=lambda w: GRID.room(w.model).model_dump_json(),
    params:
        cell=lambda w: GRID.cell(key_of(w)).model_dump_json(
            exclude=set(Room.model_fields)
        ),
        source=lambda w: GRID.engine_digest,
        journal="results/journal/{model}/{prefill}/{task}/{length}.jsonl",
    shell:
        "sparsebench infer --cell {params.cell:q} --room {resources.room:q} --model {input.model} --samples {input.samples}"
        " --journal {params.journal} --output {output} 2>&1 | tee {log}"
