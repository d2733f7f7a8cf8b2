// Package service is what the main functions have in common: signals, exit
// code and the health check that a container image without a shell needs.
package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/mtls"
)

// Main runs the service of that name until it fails or the process is told to
// stop, and exits. `<program> healthcheck` instead asks the running service
// whether it is healthy.
//
// A run function changes nothing of the process that it runs in: tests run
// several services in one.
func Main(name string, run func(ctx context.Context, environ []string, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		run = healthcheck
	}
	// What libraries log by themselves (zitadel/oidc does) goes to the service's
	// own log. A level that cannot be read is for run to report.
	type settings struct {
		LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	}
	if cfg, err := config.Parse[settings](os.Environ()); err == nil {
		slog.SetDefault(Logger(os.Stderr, name, cfg.LogLevel))
	}
	if err := run(ctx, os.Environ(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// healthcheck asks /healthz of the service that environ describes.
func healthcheck(ctx context.Context, environ []string, _ io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var addr string
	var separate bool
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name == "HEALTH_LISTEN_ADDR" && value != "" || name == "LISTEN_ADDR" && addr == "" {
			addr, separate = value, name == "HEALTH_LISTEN_ADDR"
		}
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("healthcheck: LISTEN_ADDR: %w", err)
	}
	client, scheme := http.DefaultClient, "http"
	if !separate { // where there is one, the separate listener for health is plain http
		own, err := config.Parse[mtls.Settings](environ)
		if err != nil {
			return fmt.Errorf("healthcheck: %w", err)
		}
		tlsConfig, err := mtls.Own(own)
		if err != nil {
			return fmt.Errorf("healthcheck: %w", err)
		}
		if tlsConfig != nil {
			client, scheme = &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig}}, "https"
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort("127.0.0.1", port)+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("healthcheck: %s", resp.Status)
	}
	return nil
}

// Logger returns a structured logger for one service: JSON, a line a record.
func Logger(w io.Writer, service string, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(asciiWriter{w}, &slog.HandlerOptions{Level: level})).With("service", service)
}
