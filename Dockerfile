# An image with fsbench and nothing that happens to be newest: every library by version and SHA-256. One for both: the
# locked torch computes with CUDA where the container gets a GPU, else on the CPU.
#
#   docker build --tag fsbench .
#   docker run --rm --volume "$PWD:/bench" fsbench run         writes to ./runs, and keeps packs in ./.fsbench
#   docker run --rm --gpus all --volume "$PWD:/bench" fsbench run --suite miniimagenet
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm AS build
COPY requirements.lock pyproject.toml README.md LICENSE /source/
COPY fsbench /source/fsbench
WORKDIR /source
RUN python -m venv /opt/fsbench
ENV PATH=/opt/fsbench/bin:$PATH
RUN pip install --no-cache-dir --require-hashes -r requirements.lock \
    && pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip check

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/fsbench /opt/fsbench
ENV PATH=/opt/fsbench/bin:$PATH FSBENCH_CACHE=/bench/.fsbench
RUN useradd --create-home --uid 1000 fsbench
USER 1000
WORKDIR /bench
ENTRYPOINT ["fsbench"]
CMD ["--help"]
