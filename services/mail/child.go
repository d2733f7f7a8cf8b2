package mail

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// childStopTime is how long MailHog gets to end by itself.
const childStopTime = 3 * time.Second

// runChild runs MailHog until ctx ends, or returns an error when MailHog ends
// first. It is a process of its own because its storage has a data race, and
// its listeners cannot be stopped.
func runChild(ctx context.Context, bin string, hog *mailhog) error {
	// On Linux the child is told to die with its parent, and the kernel
	// means the thread that started it (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	passwords, err := passwordFile(hog.User, hog.Password)
	if err != nil {
		return fmt.Errorf("password for MailHog: %w", err)
	}
	defer passwords.Close()
	cmd := exec.CommandContext(ctx, bin,
		"-smtp-bind-addr="+hog.SMTPAddr,
		"-api-bind-addr="+hog.URL.Host,
		"-ui-bind-addr="+hog.URL.Host,
		"-hostname=mailhog.example",
		"-storage=memory",
		"-auth-file=/dev/fd/3",
	)
	cmd.ExtraFiles = []*os.File{passwords}
	// Nothing of our environment: a stray MH_… variable would change what
	// MailHog does. The limit is soft and far above what it needs.
	cmd.Env = []string{"GOMEMLIMIT=64MiB"}
	// Stdout and Stderr stay nil, the null device: MailHog logs whole mails,
	// and so passcodes.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = childStopTime
	dieWithParent(cmd)

	err = cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	if cmd.Process == nil {
		return fmt.Errorf("MAILHOG_BIN: %w", err)
	}
	return fmt.Errorf("MailHog ended by itself (%s); start the service again, the mails are lost", cmd.ProcessState)
}

// passwordFile returns a file for MailHog's -auth-file, one line of user name
// and bcrypt hash. It is a pipe: nothing is written to a disk, or shown in the
// list of processes.
//
// Without a password, MailHog's port on loopback would be open to every page
// in the developer's browser that guesses its number.
func passwordFile(user, password string) (*os.File, error) {
	// The lowest cost: the password is random, and every request pays it.
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := fmt.Fprintf(w, "%s:%s\n", user, hash); err != nil { // a hundred bytes fit into any pipe
		r.Close()
		return nil, err
	}
	return r, nil
}
