package site

import "testing"

// TestReserved: attack S3, where a demonstration may run.
func TestReserved(t *testing.T) {
	tests := map[string]bool{
		"demo.localhost": true, "demo.example": true, "mcp.test": true, "a.b.invalid": true, "demo.example.com": true, "example.org": true,
		"demo.example.de": false, "company.com": false, "notlocalhost.dev": false, "my-test.io": false, "localhost.company.com": false, "fake-example.com": false,
	}
	for domain, want := range tests {
		if got := (Site{Domain: domain}).Reserved(); got != want {
			t.Errorf("%s: got %t, want %t", domain, got, want)
		}
	}
}
