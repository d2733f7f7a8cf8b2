// Package node finds the Node that npm installed for programs that need a
// newer one than many machines have.
package node

import (
	"fmt"
	"path/filepath"
)

// Program returns the Node in installed, a folder that npm installed into: of
// the packages in package.json, npm takes the one for this machine. What it
// links in node_modules/.bin depends on npm's version.
func Program(installed string) (string, error) {
	found, err := filepath.Glob(filepath.Join(installed, "node_modules/node-*/bin/node"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s has %d programs node-*/bin/node, want the one for this machine: there is one for Linux and macOS, on x64 and arm64", installed, len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
