package login

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// TestDemoUsers: the people of the demo are there, with ids that say nothing.
func TestDemoUsers(t *testing.T) {
	f := newFixture(t)
	want := map[string]store.User{
		john:                     {Region: "USA", Role: "user", Status: store.UserApproved},
		"jane.test@demo.example": {Region: "Europe", Role: "user", Status: store.UserApproved},
		"admin@demo.example":     {Region: "Europe", Role: "admin", Status: store.UserApproved},
		pending:                  {Region: "USA", Role: "user", Status: store.UserPending},
		suspended:                {Region: "USA", Role: "user", Status: store.UserSuspended},
	}
	for email, u := range want {
		got := f.user(email)
		if !strings.HasPrefix(got.ID, "user-") || len(got.ID) < 31 || strings.Contains(got.ID, "@") {
			t.Errorf("%s: id %q", email, got.ID)
		}
		u.ID, u.Email = got.ID, email
		if diff := cmp.Diff(u, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// TestAddUsersAgain: a restart changes neither ids nor what an administrator
// decided.
func TestAddUsersAgain(t *testing.T) {
	f := newFixture(t)
	f.suspend(john)
	if err := f.SetRegion(t.Context(), f.user(john).ID, "Asia"); err != nil {
		t.Fatal(err)
	}
	before := f.user(john)
	if err := AddUsers(t.Context(), f.db, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.user(john)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// TestRolesFollowTheFile: a restart with another file makes administrators and
// unmakes them, those who are not in it too. What else it says of people who are
// known counts for nothing.
func TestRolesFollowTheFile(t *testing.T) {
	const boss, gone = "admin@demo.example", "gone@demo.example"
	f, ctx, file := newFixture(t), t.Context(), filepath.Join(t.TempDir(), "users.json")
	start := func(body string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := AddUsers(ctx, f.db, file); err != nil {
			t.Fatal(err)
		}
	}
	start(`[{"email":"admin@demo.example","region":"Europe","role":"admin","status":"approved"},
		{"email":"gone@demo.example","region":"USA","role":"admin","status":"approved"}]`)
	cookies := map[string]string{}
	for _, email := range []string{boss, gone} {
		var err error
		if cookies[email], err = f.SignInAdmin(ctx, f.user(email).ID, f.now); err != nil {
			t.Fatal(err)
		}
	}
	start(`[{"email":"admin@demo.example","region":"Asia","role":"user","status":"suspended"},
		{"email":"john.doe@demo.example","region":"Asia","role":"admin","status":"suspended"}]`)
	for email, want := range map[string]store.User{
		boss: {Region: "Europe", Role: store.RoleUser, Status: store.UserApproved},
		john: {Region: "USA", Role: store.RoleAdmin, Status: store.UserApproved},
		gone: {Region: "USA", Role: store.RoleUser, Status: store.UserApproved},
	} {
		got := f.user(email)
		want.ID, want.Email = got.ID, email
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	for email, cookie := range cookies {
		if _, ok, err := f.AdminSession(ctx, cookie); ok || err != nil {
			t.Errorf("the session of %s goes on, %v", email, err)
		}
	}
	if _, err := f.SignInAdmin(ctx, f.user(boss).ID, f.now); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("who was an administrator signs in: %v", err)
	}
}

func TestUsersFile(t *testing.T) {
	f := newFixture(t)
	file := filepath.Join(t.TempDir(), "users.json")
	for name, tt := range map[string]struct{ body, want string }{
		"good":          {`[{"email":"ann@demo.example","region":"Asia","role":"user","status":"approved"}]`, ""},
		"not JSON":      {`users`, "invalid character"},
		"an object":     {`{}`, "object"},
		"no address":    {`[{"region":"Asia","role":"user","status":"approved"}]`, `""`},
		"upper case":    {`[{"email":"Ann@demo.example","role":"user","status":"approved"}]`, `"Ann@demo.example"`},
		"space":         {`[{"email":" ann@demo.example","role":"user","status":"approved"}]`, `" ann@demo.example"`},
		"no address 2":  {`[{"email":"ann","role":"user","status":"approved"}]`, `"ann"`},
		"with a name":   {`[{"email":"ann <ann@demo.example>","role":"user","status":"approved"}]`, "ann <ann"},
		"unknown role":  {`[{"email":"ann@demo.example","role":"root","status":"approved"}]`, "ann@demo.example: role"},
		"no status":     {`[{"email":"ann@demo.example","role":"user"}]`, "ann@demo.example: status"},
		"number status": {`[{"email":"ann@demo.example","role":"user","status":1}]`, "status"},
	} {
		if err := os.WriteFile(file, []byte(tt.body), 0o600); err != nil {
			t.Fatal(err)
		}
		err := AddUsers(t.Context(), f.db, file)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "USERS_FILE: ") || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want an error about %q", name, err, tt.want)
		}
	}
	if err := AddUsers(t.Context(), f.db, file+"x"); err == nil || !strings.HasPrefix(err.Error(), "USERS_FILE: ") {
		t.Errorf("missing file: %v", err)
	}
	if u := f.user("ann@demo.example"); u.Region != "Asia" {
		t.Errorf("added: %v", u)
	}
}
