package authserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/internal/config"
)

// RotateKeys is the subcommand rotate-keys: it puts a new signing key into the
// database of a server, which takes it up while it runs. It is called with the
// server's own environment, and needs no endpoint that others could call.
func RotateKeys(ctx context.Context, environ []string, stderr io.Writer) (err error) {
	cfg, err := config.Parse[Config](environ)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DatabaseFile); err != nil { // a new one would be of no use to the server
		return fmt.Errorf("DATABASE_FILE: %w; run this with the environment of a server that was started before", err)
	}
	db, err := sqlite.Open(ctx, cfg.DatabaseFile)
	if err != nil {
		return errors.Join(errors.New("DATABASE_FILE cannot be used"), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ring, err := loadKeys(ctx, cfg, db, time.Now)
	if err != nil {
		return err
	}
	signsFrom, err := ring.Rotate(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, "A new signing key is published and signs from %s on. The one before it stays published until its last token has expired.\n",
		signsFrom.UTC().Format(time.RFC3339))
	return err
}

// loadKeys opens the signing keys of a server.
func loadKeys(ctx context.Context, cfg Config, db *sqlite.DB, now func() time.Time) (*keys.Ring, error) {
	kek, err := config.ReadSecret("SECRETS_DIR", filepath.Join(cfg.SecretsDir, "key-encryption-key"))
	if err != nil {
		return nil, err
	}
	return keys.Load(ctx, keys.Config{
		Store: db, Secret: kek, Lifetime: cfg.KeyLifetime, TokenLifetime: grants.AccessLifetime, Now: now,
	})
}
