package deploy

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSettings(t *testing.T) {
	root := t.TempDir()
	run := filepath.Join(root, ".run")
	tests := map[string]struct {
		environ              []string
		last                 *Deployment
		domain, certs, which string
		port                 int
	}{
		"defaults":            {nil, nil, "demo.localhost", filepath.Join(root, "certs"), "", 8443},
		"empty is not set":    {[]string{"DOMAIN=", "HTTPS_PORT=", "RUNTIME="}, nil, "demo.localhost", filepath.Join(root, "certs"), "", 8443},
		"environment":         {[]string{"DOMAIN=demo.example", "HTTPS_PORT=443", "RUNTIME=local", "CERTS_DIR=/pki"}, nil, "demo.example", "/pki", Local, 443},
		"as last time":        {nil, &Deployment{Runtime: Docker, Domain: "demo.example", HTTPSPort: 443, CertsDir: "/pki"}, "demo.example", "/pki", Docker, 443},
		"changed since":       {[]string{"HTTPS_PORT=9443"}, &Deployment{Runtime: Docker, Domain: "demo.example", HTTPSPort: 443, CertsDir: "/pki"}, "demo.example", "/pki", Docker, 9443},
		"unrelated variables": {[]string{"DOMAINS=x", "odd", "RUN_DIRECTORY=/x"}, nil, "demo.localhost", filepath.Join(root, "certs"), "", 8443},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir, environ := run, tc.environ
			if tc.last != nil {
				dir = t.TempDir()
				if err := tc.last.save(dir); err != nil {
					t.Fatal(err)
				}
				environ = append([]string{"RUN_DIR=" + dir}, environ...)
			}
			s, _, err := readSettings(environ, root)
			if err != nil {
				t.Fatal(err)
			}
			if s.Domain != tc.domain || s.HTTPSPort != tc.port || s.CertsDir != tc.certs || s.Runtime != tc.which || s.RunDir != dir {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestBadSettingsNameTheVariable(t *testing.T) {
	for _, bad := range []string{
		"DOMAIN=Demo.Example", "DOMAIN=localhost", "DOMAIN=../x", "DOMAIN=a..b", "DOMAIN=demo.example:443",
		"DOMAIN=login.company.com", "HTTPS_PORT=0", "HTTPS_PORT=65536", "HTTPS_PORT=https", "HTTPS_PORT=-1", "RUNTIME=podman",
	} {
		name, _, _ := strings.Cut(bad, "=")
		if _, _, err := readSettings([]string{bad}, t.TempDir()); err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s: error %v, want one that names %s", bad, err, name)
		}
	}
	if _, _, err := readSettings(nil, ""); err == nil || !strings.Contains(err.Error(), "repository") {
		t.Errorf("outside the repository: %v", err)
	}
}

// Two clones must not share volumes.
func TestProjectNamesDiffer(t *testing.T) {
	if projectName("/a/.run") == projectName("/b/.run") {
		t.Error("two run directories have one Compose project")
	}
}
