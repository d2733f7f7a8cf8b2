package config_test

import (
	"net/url"
	"strings"
	"testing"

	"demo.example/services/internal/config"
)

func TestCheckServiceURL(t *testing.T) {
	tests := map[string]bool{
		"http://127.0.0.1:8081": true, "https://authserver:8081": true, "http://[::1]:1": true, "http://a": true, "http://a/": true,
		"": false, "a": false, "/": false, "127.0.0.1": false, "ftp://a": false, "http://": false, "http://:80": false, "http:a": false,
		"http://a/b": false, "http://a//": false, "http://a?b": false, "http://a?": false, "http://a#b": false, "http://u:p@a": false, "unix:/run/x": false,
	}
	for raw, want := range tests {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		err = config.CheckServiceURL("X_URL", *u)
		if (err == nil) != want || err != nil && (!strings.HasPrefix(err.Error(), "X_URL: ") || strings.Contains(err.Error(), ":p@")) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestCheckWebOrigin(t *testing.T) {
	tests := map[string]bool{
		"http://localhost:6274": true, "https://client.example": true,
		"": false, "*": false, "null": false, "localhost:6274": false, "ftp://client.example": false, "https://client.example/": false,
		"https://client.example?": false, "https://u@client.example": false, "HTTPS://client.example": false, "http://a b": false,
	}
	for origin, want := range tests {
		if err := config.CheckWebOrigin("ORIGINS", origin); (err == nil) != want || err != nil && !strings.HasPrefix(err.Error(), "ORIGINS: ") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
