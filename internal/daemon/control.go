package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"archiverd/internal/safetext"
)

// control is the daemon's control socket: HTTP over a Unix socket that only the daemon's
// user may open. GET /status answers with a Report.
type control struct {
	server *http.Server
	served chan error // the error of Serve
}

// listenControl opens the socket. It replaces a socket that nobody answers, left by a
// killed daemon. If another daemon answers, that is an error.
func listenControl(path string, status func() (*Report, error)) (*control, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: another daemon answers there; give this one another control.socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The process's umask keeps other users out even before Chmod.
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
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
	c := &control{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, served: make(chan error, 1)}
	go func() { c.served <- c.server.Serve(l) }()
	return c, nil
}

// Close closes the socket and waits for its goroutine.
func (c *control) Close() error {
	err := c.server.Close()
	if serr := <-c.served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// ErrNotRunning is returned when no daemon answers on the control socket.
var ErrNotRunning = errors.New("no daemon answers")

// Ask returns the report of the daemon that answers on the control socket at path.
func Ask(ctx context.Context, path string) (*Report, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
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
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon at %s answers %s", path, resp.Status)
	}
	var report Report
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return nil, fmt.Errorf("the daemon at %s: %w", path, err)
	}
	return &report, nil
}
