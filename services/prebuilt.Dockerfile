# Every service's image, from static programs that `make up` built on this
# machine: it pulls nothing. The build context is the directory that `make up`
# laid out for one service, with this file in it as services/Dockerfile.
FROM scratch
LABEL demo.example.deployment=mcp-oauth-demo
COPY root/ /
USER 65532:65532
ENTRYPOINT ["/service"]
