package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// dockerError is why Docker Compose cannot be used here.
type dockerError struct {
	what string // short, lower case
	do   string // what to do about it
}

func (e *dockerError) Error() string {
	return "RUNTIME=docker: " + e.what + ".\n" + e.do + "\nOr run the same services without Docker: make up RUNTIME=local"
}

// checkDocker returns a *dockerError where there is no engine that answers
// within three seconds, or no Compose.
func checkDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}")
	cmd.Stderr = &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return &dockerError{"there is no docker command", "Install Docker: https://docs.docker.com/get-docker/"}
	} else if err != nil {
		detail := strings.TrimSpace(out.String())
		if ctx.Err() != nil {
			detail = "no answer within three seconds"
		}
		if strings.Contains(detail, "permission denied") {
			return &dockerError{"this user may not use the Docker engine", "Allow it: sudo usermod -aG docker $USER, then sign in again"}
		}
		return &dockerError{"no Docker engine answers",
			"Start Docker Desktop, or `sudo systemctl start docker`, and look at DOCKER_HOST and `docker context ls`. Docker says: " + detail}
	}
	if err := exec.CommandContext(ctx, "docker", "compose", "version").Run(); err != nil {
		return &dockerError{"the engine answers, but the Compose plugin is missing",
			"Install it: https://docs.docker.com/compose/install/linux/"}
	}
	return nil
}

// engineArch is the architecture that images must have, in Go's words.
func engineArch(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Arch}}").Output()
	if err != nil {
		return "", fmt.Errorf("docker version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
