package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// build compiles every program for linux or this machine and returns the
// directory that they are in. It is Go's own build cache that makes the second
// time fast: programs that are up to date are left alone.
func (t *Tool) build(ctx context.Context, goos, goarch string) (string, error) {
	if t.Root == "" {
		return "", errors.New("run this inside the repository")
	}
	dir := filepath.Join(t.RunDir, "build", goos+"-"+goarch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	services := filepath.Join(t.Root, "services")
	// MailHog's old dependencies live in a module of their own.
	mailhog := filepath.Join(services, "mail", "mailhog")
	for _, b := range []struct{ dir, out, pkg string }{
		{services, dir + string(filepath.Separator), "./cmd/..."},
		{mailhog, filepath.Join(dir, "mailhog"), "github.com/mailhog/MailHog"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", b.out, b.pkg)
		cmd.Dir = b.dir
		// GOWORK=off: the tests' dependencies must not raise the services'.
		cmd.Env = slices.Concat(t.Environ, []string{"CGO_ENABLED=0", "GOWORK=off", "GOOS=" + goos, "GOARCH=" + goarch})
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("go build %s in %s: %w\n%s", b.pkg, b.dir, err, out.String())
		}
	}
	return dir, nil
}

// programs names the programs of a service, and what they are called in its
// image.
func programs(service string) map[string]string {
	p := map[string]string{service: "service"}
	if service == "mail" {
		p["mailhog"] = "mailhog"
	}
	return p
}

// layOutImages puts what goes into each image into a directory of its own
// below images, which is then the whole build context: small, and no file of
// the repository can slip into an image. compose.yaml looks for the Dockerfile
// where the repository has the one that builds from source.
func (t *Tool) layOutImages(built, images string) error {
	dockerfile := filepath.Join(t.Root, "services", "prebuilt.Dockerfile")
	for _, service := range append([]string{"demo"}, Services...) {
		dir := filepath.Join(images, service)
		if err := syncFile(dockerfile, filepath.Join(dir, "services", "Dockerfile")); err != nil {
			return err
		}
		for from, to := range programs(service) {
			if err := syncFile(filepath.Join(built, from), filepath.Join(dir, "root", to)); err != nil {
				return err
			}
		}
	}
	return nil
}

// layOutPrograms copies the programs to where local processes run them from:
// a program that runs cannot be overwritten by a build, but it can be replaced.
func layOutPrograms(built, bin string) error {
	for _, service := range Services {
		for name := range programs(service) {
			if err := syncFile(filepath.Join(built, name), filepath.Join(bin, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// syncFile makes to a copy of from, in one step, unless it is one already.
func syncFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if old, err := os.Stat(to); err == nil && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := writeFile(to, b, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// revision is a digest of files and of text: when it changes, what runs is
// out of date.
func revision(files []string, text ...string) (string, error) {
	h := sha256.New()
	files = slices.Sorted(slices.Values(files))
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q\n", filepath.Base(name))
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%q\n", text)
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
