package stocksmcp

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunNamesTheVariable(t *testing.T) {
	dir := t.TempDir()
	secret, short := filepath.Join(dir, "secret"), filepath.Join(dir, "short")
	for file, value := range map[string]string{secret: testSecret, short: "hunter2"} {
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := []string{"LISTEN_ADDR=127.0.0.1:0", "CLIENT_SECRET_FILE=" + secret}
	tests := map[string]string{ // bad setting to the variable that the error names
		"DOMAIN=Demo":                    "DOMAIN",
		"HTTPS_PORT=none":                "HTTPS_PORT",
		"HTTPS_PORT=70000":               "HTTPS_PORT",
		"LISTEN_ADDR=nowhere":            "LISTEN_ADDR",
		"AUTHSERVER_URL=authserver:8081": "AUTHSERVER_URL",
		"STOCKSAPI_URL=http://":          "STOCKSAPI_URL",
		"STOCKSAPI_URL=http://h/?x=1":    "STOCKSAPI_URL",
		"CLIENT_SECRET_FILE=/nowhere":    "CLIENT_SECRET_FILE",
		"CLIENT_SECRET_FILE=" + short:    "CLIENT_SECRET_FILE",
		"LOG_LEVEL=loud":                 "LOG_LEVEL",
	}
	for setting, variable := range tests {
		err := Run(t.Context(), append(good, setting), io.Discard)
		if err == nil || !strings.Contains(err.Error(), variable+":") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want an error that names %s", setting, err, variable)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, good, io.Discard); err != nil {
		t.Error(err)
	}
}
