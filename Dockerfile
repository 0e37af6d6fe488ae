# Restores on the processor, without a network, as a user without rights. First: make wheel
#   docker build --tag hime .
#   docker run --rm --network none --user "$(id -u)" --volume "$PWD:/photos" hime restore party.jpg --refs mum --out restored
#   docker run --rm --publish 127.0.0.1:8765:8765 hime app --host 0.0.0.0
FROM python:3.13-slim
COPY constraints.txt dist/*.whl /tmp/hime/
RUN pip install --no-cache-dir --constraint /tmp/hime/constraints.txt "$(ls /tmp/hime/*.whl)[faces,heif,video]"
RUN useradd --create-home --uid 1000 hime
USER hime
WORKDIR /photos
ENV HF_HUB_OFFLINE=1
EXPOSE 8765
ENTRYPOINT ["hime"]
CMD ["--help"]
