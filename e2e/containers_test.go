package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/e2e/deployment"
	"demo.example/e2e/launch"
)

// TestContainersAreLockedDown: attack S2, as the engine tells it of the
// containers that run. (That compose.yaml asks for it is a test of the
// services' internal/deploy.)
func TestContainersAreLockedDown(t *testing.T) {
	internal := []string{"/internal-ca.pem", "/internal-key.pem", "/internal.pem"}
	secrets := map[string][]string{
		"gateway":    {"/client-gateway", "/leaf-key.pem", "/leaf.pem"},
		"authserver": {"/ca.pem", "/client-admin", "/client-gateway", "/client-stocks-report", "/client-stocks-web", "/client-stocksapi", "/client-stocksmcp", "/key-encryption-key"},
		"stocksmcp":  {"/client-stocksmcp"},
		"stocksapi":  {"/client-stocksapi"},
	}
	for _, service := range deployment.Services {
		t.Run(service, func(t *testing.T) {
			c, ok, err := demo.Container(t.Context(), service)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				t.Skip("services are local processes here, with the rights of whoever starts them")
			}
			checkRights(t, c)
			programs := []string{"/service"}
			if service == "mail" {
				programs = []string{"/mailhog", "/service"}
			}
			if diff := cmp.Diff(programs, names(c.Image)); diff != "" {
				t.Errorf("the image holds more than its program, such as a shell or a secret (-want +got):\n%s", diff)
			}
			want := slices.Sorted(slices.Values(slices.Concat(secrets[service], internal)))
			if diff := cmp.Diff(want, names(c.Secrets)); diff != "" {
				t.Errorf("files in /run/secrets (-want +got):\n%s", diff)
			}
			for _, f := range c.Secrets {
				if f.Mode != 0o400 || f.UID != 65532 {
					t.Errorf("%s: mode %o of user %d, want 0400 of 65532", f.Name, f.Mode, f.UID)
				}
			}
			for _, name := range []string{"key-encryption-key", "client-gateway", "client-stocksmcp", "client-stocks-web", "client-stocks-report", "client-stocksapi", "client-admin"} {
				if strings.Contains(c.Everything, secret(t, name)) {
					t.Errorf("the secret %s is in the container's environment or settings", name)
				}
			}
			if strings.Contains(c.Everything, "PRIVATE KEY") {
				t.Error("a private key is in the container's environment or settings")
			}
			for _, label := range []string{"title", "description", "base.name"} {
				if c.Labels["org.opencontainers.image."+label] == "" {
					t.Errorf("the image has no label %s (attack S4)", label)
				}
			}
		})
	}
}

// checkRights reports what a container may do and should not.
func checkRights(t *testing.T, c launch.Container) {
	t.Helper()
	type rights struct {
		User                              string
		ReadOnly, Privileged, HostNetwork bool
		CapDrop, SecurityOpt              []string
		More                              string // capabilities and pieces of the machine
	}
	want := rights{User: "65532:65532", ReadOnly: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"}, More: "[] []"}
	got := rights{c.User, c.ReadOnly, c.Privileged, c.HostNetwork, c.CapDrop, c.SecurityOpt, fmt.Sprint(c.CapAdd, c.HostBinds)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	if c.Memory == 0 || c.NanoCPUs == 0 || c.PidsLimit <= 0 {
		t.Errorf("limits: memory %d, CPUs %d, processes %d; want all three", c.Memory, c.NanoCPUs, c.PidsLimit)
	}
	// A container that names no profile has the engine's, where that has one.
	if !slices.ContainsFunc(c.EngineGuards, func(s string) bool { return strings.HasPrefix(s, "name=seccomp") }) {
		t.Logf("this engine filters no system calls: %v", c.EngineGuards)
	}
}

func names(files []launch.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Name)
	}
	return slices.Sorted(slices.Values(all))
}
