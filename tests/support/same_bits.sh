#!/bin/sh
# Runs a few quick cells, one of each scenario and all methods among them, for same_bits.py:
#
#     sh tests/support/same_bits.sh OUT [FPLBENCH]
#
# FPLBENCH: the command to run, by default .venv/bin/fplbench. About three minutes on one core that is free.
# Features are made anew, so that they are compared too.
set -eu
out=$1
fplbench=${2:-.venv/bin/fplbench}
export FPLBENCH_CACHE="$out/.cache" OMP_NUM_THREADS=1

run() { # a folder of its own for each, then what `fplbench run` takes
    name=$1
    shift
    "$fplbench" run --device cpu --threads 1 --checkpoint 0 --lr 0.01 --out "$out/$name" "$@" \
        > "$out/$name.txt"
}

mkdir -p "$out"
run scenarios --methods all --datasets digits --scenario personal,iid,pathological,base2novel \
    --clients 5 --shots 2 --rounds 2
run half --methods all --datasets digits --clients 4 --shots 4 --rounds 3 --participation 0.5 \
    --set evaluations=2 --set lr_schedule=cosine --seeds 1
run domains --methods promptfl,fedpgp --datasets shapes_domains --clients-per-domain 1 \
    --shots 1 --rounds 2 --hold-out sketch --local-epochs 1
run settings --methods promptfl --datasets digits --clients 3 --shots 4 --rounds 2 --validation \
    --views 2 --precision bf16
