package deploy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"demo.example/services/internal/certs"
)

// setup creates the certificates and secrets that are missing.
func (t *Tool) setup() (certs.Result, error) {
	if err := t.Validate(); err != nil {
		return certs.Result{}, err
	}
	pki, err := t.ensureCerts()
	if err != nil {
		return pki, err
	}
	created, err := ensureSecrets(filepath.Join(t.RunDir, "secrets"))
	if err != nil {
		return pki, err
	}
	if len(created) > 0 {
		t.say("Secrets: created %s.", strings.Join(created, ", "))
	}
	return pki, nil
}

// installDir is where the one-shot container finds the volumes of the others,
// and serviceUser who they run as (services/Dockerfile).
const (
	installDir  = "/install"
	serviceUser = 65532
)

// share is what one container gets to see: nothing but what it needs. The
// certificate authority's key is in no share.
type share struct {
	secrets []string
	ca      bool // the certificate authority's certificate
	leaf    bool // the gateway's certificate chain and its key
}

// shares by the name of the volume, which is mounted at /run/secrets in the
// service of that name. Beside what is listed, each has the certificate by
// which the other services know it, and the authority of those.
var shares = map[string]share{
	"authserver": {secrets: secretNames, ca: true},
	"gateway":    {secrets: []string{"client-gateway"}, leaf: true},
	"stocksmcp":  {secrets: []string{"client-stocksmcp"}},
	"stocksapi":  {secrets: []string{"client-stocksapi"}},
	"mail":       {},
}

// setupContainers is what the one-shot container of compose.yaml does before
// the services start. It runs as root with two capabilities and no network,
// for it alone may read everything and give files to another user.
func (t *Tool) setupContainers() error {
	if os.Getuid() != 0 {
		return errors.New("setup --install gives files to other users: only the setup container runs it")
	}
	pki, err := t.setup()
	if err != nil {
		return err
	}
	internal, err := t.ensureInternalCerts()
	if err != nil {
		return err
	}
	// Docker made RUN_DIR where it was missing; CERTS_DIR is in the repository.
	dir := filepath.Join(t.RunDir, "secrets")
	created := []string{t.RunDir, dir}
	for _, name := range secretNames {
		created = append(created, filepath.Join(dir, name))
	}
	if err := adoptOwner(t.CertsDir, created...); err != nil {
		return err
	}
	for name, s := range shares {
		files := s.files(pki, t.RunDir)
		maps.Copy(files, internalFiles(internal, name))
		if err := install(filepath.Join(installDir, name), files, serviceUser); err != nil {
			return fmt.Errorf("install the share of %s: %w", name, err)
		}
	}
	// A new volume belongs to root.
	for _, name := range []string{"state", "stocks-state"} {
		if err := os.Chown(filepath.Join(installDir, name), serviceUser, serviceUser); err != nil {
			return err
		}
	}
	return nil
}

// files maps the names in the share to the files that they are copied from.
func (s share) files(pki certs.Result, runDir string) map[string]string {
	files := map[string]string{}
	for _, name := range s.secrets {
		files[name] = filepath.Join(runDir, "secrets", name)
	}
	if s.ca {
		files["ca.pem"] = pki.CAFile
	}
	if s.leaf {
		files[leafFile], files[leafKeyFile] = pki.CertFile, pki.KeyFile
	}
	return files
}

// internalFiles is what a service needs to be known by the others, and to know
// them. Neither the key of their authority nor another's certificate is in it.
func internalFiles(internal certs.Internal, service string) map[string]string {
	return map[string]string{
		"internal.pem":     internal.CertFile(service),
		"internal-key.pem": internal.KeyFile(service),
		"internal-ca.pem":  internal.CAFile(),
	}
}

// install makes dir hold exactly the files, readable by their owner alone.
func install(dir string, files map[string]string, owner int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for name, from := range files {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		tmp := filepath.Join(dir, ".new-"+name)
		if err := os.RemoveAll(tmp); err != nil { // of a run that was cut short
			return err
		}
		if err := os.WriteFile(tmp, b, 0o400); err != nil {
			return err
		}
		if err := os.Chown(tmp, owner, owner); err != nil {
			return err
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.Chown(dir, owner, owner)
}

// adoptOwner gives what a container created as root to whoever owns like, so
// that the user of the machine can read and remove it.
func adoptOwner(like string, names ...string) error {
	owner, err := ownerOf(like)
	if err != nil || owner == nil {
		return err
	}
	for _, name := range names {
		has, err := ownerOf(name)
		if err != nil {
			return err
		}
		if has == nil || has.Uid != 0 || owner.Uid == 0 {
			continue
		}
		if err := os.Lchown(name, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf returns nil on a file system without owners.
func ownerOf(name string) (*syscall.Stat_t, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	return owner, nil
}
