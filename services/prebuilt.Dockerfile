# Every service's image, from static programs that `make up` built on this
# machine: it pulls nothing. The build context is the directory that `make up`
# laid out for one service, with this file in it as services/Dockerfile.
FROM scratch
LABEL demo.example.deployment=mcp-oauth-demo \
      org.opencontainers.image.title="MCP OAuth demo" \
      org.opencontainers.image.description="One service of a demonstration; not for production" \
      org.opencontainers.image.base.name=scratch
COPY root/ /
USER 65532:65532
ENTRYPOINT ["/service"]
