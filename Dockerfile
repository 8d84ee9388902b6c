# The image of every Ray node in docker-compose.yml.
FROM python:3.11.15-slim-bookworm

# Has torch without CUDA, which would add gigabytes: pip prefers its 2.x.y+cpu to the plain 2.x.y of the default index.
# For a GPU the index of a CUDA version, such as https://download.pytorch.org/whl/cu130.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN useradd --create-home --uid 1000 dqn
WORKDIR /app

# The dependencies have a layer of their own, so that editing the code does not install them again.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/requirements.txt \
    && pip install --extra-index-url "$TORCH_INDEX" --requirement /tmp/requirements.txt

# Owned by the user who runs it: files that only their owner may read keep their mode. New volumes take their owner from
# the folders runs/ and boards/, which is where Ray's head writes its dashboards for Grafana.
COPY --chown=dqn:dqn . .
RUN pip install --no-deps --editable . \
    && install --directory --owner=dqn --group=dqn runs /home/dqn/boards

# dqn, by number: so that it shows from outside that it is not root.
USER 1000
CMD ["python", "launch.py", "--help"]
