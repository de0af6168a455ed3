# One image for gateway, worker, result writer and API; docker-compose.yml says which of them a container is.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lynceus
ENV PATH=/opt/lynceus/bin:$PATH
WORKDIR /srv/lynceus

# torch alone first: by far the largest layer, and the one that changes least.
COPY requirements/torch.txt requirements/
RUN pip install -r requirements/torch.txt
COPY pyproject.toml requirements/constraints.txt ./
# With what a GPU needs: torch brings CUDA's libraries in any case, and beside them the rest is small.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['cuda'], sep='\n')" >dependencies.txt \
    && pip install -c constraints.txt -r dependencies.txt

# The 2-bit encoder is C++; slim images bring no compiler.
RUN command -v g++ || { apt-get update && apt-get install -y --no-install-recommends g++; }
COPY README.md LICENSE CMakeLists.txt ./
COPY schemas schemas
COPY engine engine
COPY worker worker
COPY services services
RUN pip install --no-deps -e .
# For every usual card, the released model and the starter; the compiler needs no card.
COPY models/starter/config.json models/starter/
RUN lynceus kernels build && lynceus kernels build --checkpoint models/starter

FROM python:3.11-slim-bookworm
ENV PATH=/opt/lynceus/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --no-create-home --home-dir /srv/lynceus lynceus
COPY --from=build /opt/lynceus /opt/lynceus
COPY --from=build /srv/lynceus /srv/lynceus
WORKDIR /srv/lynceus
COPY licences licences
COPY models models
COPY recipes recipes
COPY samples samples
COPY sources.yaml ./
# Named volumes take the owner of the folder they cover; a checkpoint may have been copied here for root's eyes only.
RUN mkdir -p var/archive var/cameras var/kernels var/spool && chown -R lynceus: var && chmod -R a+rX models recipes samples
USER lynceus
CMD ["lynceus", "--help"]
