package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"archiverd/internal/durable"
	"archiverd/internal/safetext"
)

// control is the daemon's control socket: HTTP over a Unix socket that only the daemon's
// user may open. GET /status answers with a Report.
type control struct {
	server *http.Server
	path   string
	socket fs.FileInfo // of the socket as it was made
	served chan error  // the error of Serve
}

// listenControl opens the socket. It replaces a socket that nobody answers, left by a
// killed daemon. If another daemon answers, or the path is anything but such a socket, that
// is an error.
func listenControl(path string, status func() (*Report, error)) (*control, error) {
	if err := removeDeadSocket(path); err != nil {
		return nil, fmt.Errorf("control.socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The process's umask keeps other users out even before Chmod.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // Close removes the file if it is still this socket
	err = os.Chmod(path, 0o600)
	var socket fs.FileInfo
	if err == nil {
		socket, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		report, err := status()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = safetext.WriteJSON(w, report) // an error means that the client has gone
	})
	c := &control{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, path: path, socket: socket, served: make(chan error, 1)}
	go func() { c.served <- c.server.Serve(l) }()
	return c, nil
}

// removeDeadSocket removes a socket of this process's user at which nothing listens.
// Anything else at path is an error; the error wraps durable.ErrForeign if it can't be a
// daemon's.
func removeDeadSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s is %s: %w", path, durable.KindName(info.Mode()), durable.ErrForeign)
	}
	if err == nil {
		err = durable.CheckOwner(path, info)
	}
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another daemon answers at %s: give this one another control.socket", path)
	case errors.Is(err, syscall.ECONNREFUSED): // nothing listens
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%w: another program may use this socket; give the daemon another path", err)
}

// Close closes the socket, removes its file and waits for its goroutine.
func (c *control) Close() error {
	err := c.server.Close()
	if serr := <-c.served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	if info, lerr := os.Lstat(c.path); lerr == nil && os.SameFile(info, c.socket) {
		err = errors.Join(err, os.Remove(c.path))
	}
	return err
}

// ErrNotRunning is returned when no daemon answers on the control socket.
var ErrNotRunning = errors.New("no daemon answers")

// maxReport is how many octets of a daemon's answer are read, far more than it has.
const maxReport = 64 << 20

// Ask returns the report of the daemon that answers on the control socket at path. A socket
// that may be another user's is not asked.
func Ask(ctx context.Context, path string) (*Report, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialControl(ctx, path)
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://archiverd/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("control socket %s: only the user that the daemon runs as may ask it: %w", path, err)
	}
	if errors.Is(err, durable.ErrForeign) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon at %s answers %s", path, resp.Status)
	}
	var report Report
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReport)).Decode(&report); err != nil {
		return nil, fmt.Errorf("the daemon at %s: %w", path, err)
	}
	return &report, nil
}

// dialControl connects to the control socket at path. The error wraps durable.ErrForeign
// unless the socket and the process behind it belong to this process's user, to root or to
// the owner of the socket's directory.
func dialControl(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s is %s: %w", path, durable.KindName(info.Mode()), durable.ErrForeign)
	}
	if err == nil {
		err = durable.CheckOwner(path, info)
	}
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	uid, known, err := peerUser(conn.(*net.UnixConn))
	if owner, ok := info.Sys().(*syscall.Stat_t); err == nil && known && ok && uid != 0 && uid != int(owner.Uid) {
		err = fmt.Errorf("%s belongs to user %d, and the process behind it to user %d: %w", path, owner.Uid, uid, durable.ErrForeign)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
