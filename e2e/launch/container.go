package launch

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Container is what the engine says of a service's container, and what is in
// it.
type Container struct {
	User         string
	ReadOnly     bool
	Privileged   bool
	CapDrop      []string
	CapAdd       []string
	SecurityOpt  []string
	Memory       int64 // bytes
	NanoCPUs     int64
	PidsLimit    int64
	HostBinds    []string // directories and files of the machine
	HostNetwork  bool
	Everything   string // all of it, as JSON
	EngineGuards []string

	Labels  map[string]string // of the image
	Image   []File            // regular files of the image and the container's own layer
	Secrets []File            // in /run/secrets
}

// File is a file in a container.
type File struct {
	Name string
	Mode int64 // permissions
	UID  int
	Size int64
}

// Container looks at the container of a service; ok is false where services
// are not containers.
func (r *Running) Container(ctx context.Context, service string) (c Container, ok bool, err error) {
	containers, ok := r.runtime.(*containers)
	if !ok {
		return Container{}, false, nil
	}
	c, err = containers.look(ctx, service)
	return c, true, err
}

func (c *containers) look(ctx context.Context, service string) (Container, error) {
	found, err := c.container(ctx, service)
	if err != nil {
		return Container{}, err
	}
	in, err := found.Inspect(ctx)
	if err != nil {
		return Container{}, err
	}
	everything, err := json.Marshal(in)
	if err != nil {
		return Container{}, err
	}
	h := in.HostConfig
	out := Container{
		User: in.Config.User, ReadOnly: h.ReadonlyRootfs, Privileged: h.Privileged, CapDrop: h.CapDrop, CapAdd: h.CapAdd,
		SecurityOpt: h.SecurityOpt, Memory: h.Memory, NanoCPUs: h.NanoCPUs, HostNetwork: h.NetworkMode.IsHost() || h.PidMode.IsHost() || h.IpcMode.IsHost(),
		Everything: string(everything), Labels: in.Config.Labels,
	}
	if h.PidsLimit != nil {
		out.PidsLimit = *h.PidsLimit
	}
	for _, m := range in.Mounts {
		if m.Type == "bind" {
			out.HostBinds = append(out.HostBinds, m.Source)
		}
	}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return out, err
	}
	defer provider.Close()
	engine := provider.Client()
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return out, err
	}
	out.EngineGuards = info.Info.SecurityOptions
	root, err := engine.ContainerExport(ctx, in.ID, client.ContainerExportOptions{})
	if err != nil {
		return out, err
	}
	if out.Image, err = list(root); err != nil {
		return out, err
	}
	secrets, err := engine.CopyFromContainer(ctx, in.ID, client.CopyFromContainerOptions{SourcePath: "/run/secrets"})
	if err != nil {
		return out, err
	}
	out.Secrets, err = list(secrets.Content)
	return out, err
}

// list returns the regular files of an archive and closes it. The engine's own
// (/.dockerenv, /etc/hosts and the like) are empty in it, and left out.
func list(archive io.ReadCloser) (files []File, err error) {
	defer func() { err = errors.Join(err, archive.Close()) }()
	r := tar.NewReader(archive)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return files, fmt.Errorf("files of a container: %w", err)
		}
		if h.Typeflag == tar.TypeReg && h.Size > 0 {
			files = append(files, File{path.Clean("/" + strings.TrimPrefix(h.Name, "secrets/")), h.Mode & 0o7777, h.Uid, h.Size})
		}
	}
}
