from pathlib import Path


# Not part of `all`: the reference models ship with the project. `snakemake --cores 12
# results/trained/nano-2m/figures.json` trains one anew on the GPU of this machine.
rule train_model:
    input:
        config="config/nano.yaml",
    output:
        "results/trained/{size}/curriculum.json",
    log:
        "results/logs/train/{size}.log",
    benchmark:
        "results/benchmarks/train/{size}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 12
    resources:
        mem_mb=32000,
        gpu=1,
    params:
        folder=lambda w, output: Path(output[0]).parent,
        minutes=lambda w: {"nano-2m": 12, "nano-6m": 15}.get(w.size, 20),
        workers=lambda w, threads: max(1, threads - 2),
    shell:
        "sparsebench train --size {wildcards.size} --output {params.folder} --minutes {params.minutes} --final"
        " --workers {params.workers} --config {input.config} 2>&1 | tee {log}"


rule evaluate_model:
    input:
        config="config/nano.yaml",
        model="results/trained/{size}/curriculum.json",
    output:
        "results/trained/{size}/figures.json",
    log:
        "results/logs/evaluate/{size}.log",
    benchmark:
        "results/benchmarks/evaluate/{size}.tsv"
    conda:
        "../envs/sparsebench.yaml"
    threads: 2
    resources:
        mem_mb=16000,
        gpu=1,
    params:
        folder=lambda w, input: Path(input.model).parent,
    shell:
        "sparsebench evaluate-model --model {params.folder} --config {input.config} --output {output} --card"
        " 2>&1 | tee {log}"
