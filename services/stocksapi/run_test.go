package stocksapi

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunNamesTheVariable(t *testing.T) {
	tests := map[string]string{ // bad setting to the variable that the error names
		"DOMAIN=Demo":                              "DOMAIN",
		"HTTPS_PORT=none":                          "HTTPS_PORT",
		"HTTPS_PORT=0":                             "HTTPS_PORT",
		"LISTEN_ADDR=nowhere":                      "LISTEN_ADDR",
		"LISTEN_ADDR=127.0.0.1:99999":              "LISTEN_ADDR",
		"AUTHSERVER_URL=authserver:8081":           "AUTHSERVER_URL",
		"AUTHSERVER_URL=::":                        "AUTHSERVER_URL",
		"AUTHSERVER_URL=http://user:pw@127.0.0.1/": "AUTHSERVER_URL",
		"LOG_LEVEL=loud":                           "LOG_LEVEL",
		"ORDERS_FILE=/nowhere/orders.db":           "ORDERS_FILE",
		"CLIENT_SECRET_FILE=/nowhere/secret":       "CLIENT_SECRET_FILE",
	}
	for setting, variable := range tests {
		orders := "ORDERS_FILE=" + filepath.Join(t.TempDir(), "orders.db") // settings that come later win
		err := Run(t.Context(), []string{orders, secretFile(t), setting}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), variable+":") {
			t.Errorf("%s: got %v, want an error that names %s", setting, err, variable)
		}
	}
}

// secretFile is a setting that is always needed.
func secretFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client-stocksapi")
	if err := os.WriteFile(file, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	return "CLIENT_SECRET_FILE=" + file
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, []string{secretFile(t), "LISTEN_ADDR=127.0.0.1:0", "ORDERS_FILE=" + filepath.Join(t.TempDir(), "orders.db")}, io.Discard); err != nil {
		t.Error(err)
	}
}
