# fplbench with its command, for a CPU or for CUDA:
#
#     docker build -t fplbench .
#     docker build -t fplbench:cuda --build-arg TORCH=cuda .
#     docker run --rm -v "$PWD/results:/work/results" fplbench demo
#     docker run --rm --gpus all -v "$PWD/results:/work/results" fplbench:cuda demo
FROM python:3.12-slim

# cpu: PyTorch's build without CUDA. cuda: PyPI's, which brings CUDA's libraries; of the machine it
# needs the driver and NVIDIA's container toolkit.
ARG TORCH=cpu

WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements.lock ./
COPY fplbench fplbench
COPY methods methods
COPY datasets datasets
COPY results/reference results/reference
# The lock as constraints: what a build of torch does not ask for is not installed.
# hadolint ignore=DL3013,SC2086
RUN pip install --no-cache-dir uv \
    && case "$TORCH" in cpu) backend=--torch-backend=cpu ;; cuda) backend= ;; \
        *) echo "TORCH is $TORCH: write cpu or cuda" >&2; exit 1 ;; esac \
    && uv pip install --system --no-cache --compile-bytecode $backend \
        --constraints requirements.lock ".[privacy,tensorboard]" \
    && mkdir -m 777 /cache /work

# Any user may run it: features, fonts and weights are kept in /cache.
ENV FPLBENCH_CACHE=/cache/fplbench HOME=/cache
WORKDIR /work
ENTRYPOINT ["fplbench"]
CMD ["--help"]
