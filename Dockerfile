# An image with fsbench and nothing that happens to be newest: every library by version and SHA-256.
#
#   docker build --tag fsbench .                              for the CPU
#   docker build --tag fsbench:cuda --build-arg DEVICE=cuda . with CUDA's libraries, about 5 GB more
#   docker run --rm --volume "$PWD:/work" fsbench run         writes to ./runs, and keeps packs in ./.fsbench
#   docker run --rm --gpus all --volume "$PWD:/work" fsbench:cuda run --suite miniimagenet
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm AS build
ARG DEVICE=cpu
COPY requirements.lock pyproject.toml README.md LICENSE tools/cpu_lock.py /source/
COPY fsbench /source/fsbench
WORKDIR /source
RUN python -m venv /opt/fsbench
ENV PATH=/opt/fsbench/bin:$PATH
# For the CPU torch comes from PyTorch's own index, whose builds are without CUDA and have no hashes in the lock.
RUN set -eu; \
    case "$DEVICE" in \
      cuda) pip install --no-cache-dir --require-hashes -r requirements.lock ;; \
      cpu) python cpu_lock.py requirements.lock cpu.lock torch.txt; \
        pip install --no-cache-dir --require-hashes -r cpu.lock; \
        pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu -r torch.txt ;; \
      *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 2 ;; \
    esac; \
    pip install --no-cache-dir --no-deps --no-build-isolation .; \
    pip check

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/fsbench /opt/fsbench
ENV PATH=/opt/fsbench/bin:$PATH FSBENCH_CACHE=/work/.fsbench
RUN useradd --create-home --uid 1000 fsbench
USER fsbench
WORKDIR /work
ENTRYPOINT ["fsbench"]
CMD ["--help"]
