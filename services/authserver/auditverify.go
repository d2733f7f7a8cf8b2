package authserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/config"
)

// AuditVerify returns the subcommand audit-verify: it checks every link of the
// audit trail, in the server's own environment and while it runs. With an
// argument, a head that the server logged, it also finds out whether the end
// of the trail was cut off.
func AuditVerify(args []string) func(ctx context.Context, environ []string, stderr io.Writer) error {
	return func(ctx context.Context, environ []string, stderr io.Writer) error {
		if len(args) > 1 {
			return errors.New("audit-verify: takes one head, as the server logs it, or nothing")
		}
		cfg, err := config.Parse[Config](environ)
		if err != nil {
			return err
		}
		if _, err := os.Stat(cfg.auditFile()); err != nil { // a new one would be no trail at all
			return fmt.Errorf("AUDIT_FILE: %w; run this with the environment of a server that was started before", err)
		}
		kept, err := auditConfig(cfg, time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		report, err := trail.Verify(ctx, kept, strings.Join(args, ""))
		if err != nil {
			return fmt.Errorf("the audit trail is NOT intact, after %d events that are: %w", report.Events, err)
		}
		_, err = fmt.Fprintf(stderr, "The audit trail is intact: %d events, from number %d on. Its head is %s.\n", report.Events, report.First, report.Head)
		return err
	}
}

// auditConfig is how the trail is kept, and checked.
func auditConfig(cfg Config, now func() time.Time, log *slog.Logger) (trail.Config, error) {
	kek, err := config.ReadSecret("SECRETS_DIR", filepath.Join(cfg.SecretsDir, "key-encryption-key"))
	if err != nil {
		return trail.Config{}, err
	}
	key, err := keys.Derive(kek, "audit trail")
	if err != nil {
		return trail.Config{}, err
	}
	return trail.Config{File: cfg.auditFile(), Key: key, Retention: cfg.AuditRetention, MaxEvents: cfg.AuditMaxEvents, Log: log, Now: now}, nil
}
