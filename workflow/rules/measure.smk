from sparsebench.source import PACKAGE, source_digest

# A neighbour on the same machine would be measured too, so that a job takes all cores; a cluster tells of none.
MEASURE_THREADS = workflow.resource_settings.cores or GRID.config.engine.threads


localrules:
    collect_measurements,


rule measure_attention:
    output:
        "results/measurements/attention/{method}/{length}.arrow",
    log:
        "results/logs/measure/attention/{method}/{length}.log",
    benchmark:
        "results/benchmarks/measure/attention/{method}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: MEASURE_THREADS
    resources:
        mem_mb=16000,
        runtime=240,
        gpu=lambda w: GRID.measuring_gpu()[0],
        gres=lambda w: GRID.measuring_gpu()[1],
        nodes=1,
    params:
        sweeps=lambda w: sweeps_of(w.method),
        shape=lambda w: (
            f"--rows {MEASURE.attention.rows} --heads {MEASURE.attention.heads}"
            f" --kv-heads {MEASURE.attention.kv_heads} --head-dim {MEASURE.attention.head_dim}"
        ),
        numbers=f"--impl {GRID.config.engine.impl} --dtype {GRID.config.engine.dtype}",
        source=lambda w: source_digest(PACKAGE / "measure" / "attention.py"),
    shell:
        "sparsebench measure attention {params.sweeps} --length {wildcards.length} {params.shape} {params.numbers}"
        " --output {output} 2>&1 | tee {log}"


rule measure_generation:
    input:
        weights_of,
    output:
        "results/measurements/generation/{model}/{method}/{length}.arrow",
    log:
        "results/logs/measure/generation/{model}/{method}/{length}.log",
    benchmark:
        "results/benchmarks/measure/generation/{model}/{method}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: MEASURE_THREADS
    resources:
        mem_mb=64000,
        runtime=480,
        gpu=lambda w: GRID.measuring_gpu(w.model)[0],
        gres=lambda w: GRID.measuring_gpu(w.model)[1],
        nodes=1,
    params:
        weights=weights_flag,
        sweeps=lambda w: sweeps_of(w.method),
        numbers=lambda w: f"--impl {GRID.config.engine.impl} --dtype {GRID.dtype(w.model)}",
        source=lambda w: source_digest(PACKAGE / "measure" / "generation.py"),
    shell:
        "sparsebench measure generation {params.weights} {input} --label {wildcards.model} {params.sweeps}"
        " --length {wildcards.length} {params.numbers} --output {output} 2>&1 | tee {log}"


rule measure_fanout:
    input:
        weights_of,
    output:
        "results/measurements/fanout/{model}/{length}.arrow",
    log:
        "results/logs/measure/fanout/{model}/{length}.log",
    benchmark:
        "results/benchmarks/measure/fanout/{model}/{length}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: MEASURE_THREADS
    resources:
        mem_mb=64000,
        runtime=480,
        gpu=lambda w: GRID.measuring_gpu(w.model)[0],
        gres=lambda w: GRID.measuring_gpu(w.model)[1],
        nodes=1,
    params:
        weights=weights_flag,
        sweeps=lambda w: sweeps_of(*GRID.measured(controls=True)),
        new=lambda w: MEASURE.generation.fanout_tok,
        numbers=lambda w: f"--impl {GRID.config.engine.impl} --dtype {GRID.dtype(w.model)}",
        source=lambda w: source_digest(PACKAGE / "measure" / "fanout.py"),
    shell:
        "sparsebench measure fanout {params.weights} {input} --label {wildcards.model} {params.sweeps}"
        " --length {wildcards.length} --new-tok {params.new} {params.numbers} --output {output} 2>&1 | tee {log}"


# Without anything to measure the table is there and empty.
rule collect_measurements:
    input:
        measurement_tables(),
    output:
        "results/tables/measurements.arrow",
    log:
        "results/logs/tables/measurements.log",
    benchmark:
        "results/benchmarks/tables/measurements.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=CONFIG_JSON,
    shell:
        "printf '%s\\n' {input} | sparsebench collect measurements --config {params.config:q} --inputs -"
        " --output {output} 2>&1 | tee {log}"
