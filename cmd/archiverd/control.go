package main

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

// control is the daemon's control socket: HTTP over a Unix socket that only
// this user may open. GET /status answers with a statusReport.
type control struct {
	server *http.Server
	path   string
	failed chan error
}

// listenControl opens the socket. A socket left by a dead daemon makes way, one
// that somebody answers does not.
func listenControl(path string, status func() (statusReport, error)) (*control, error) {
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
	// The process's umask keeps everybody else out from the first moment.
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
		_ = safetext.WriteJSON(w, report) // the other side hung up
	})
	c := &control{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, path: path, failed: make(chan error, 1)}
	go func() { c.failed <- c.server.Serve(l) }()
	return c, nil
}

// Close closes the socket and waits.
func (c *control) Close() error {
	err := c.server.Close()
	if serr := <-c.failed; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// askControl asks a running daemon for its status. The error is
// errNoDaemon if there is none.
func askControl(ctx context.Context, path string) (*statusReport, error) {
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
		return nil, fmt.Errorf("%w: %w", errNoDaemon, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon at %s answers %s", path, resp.Status)
	}
	var report statusReport
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return nil, fmt.Errorf("the daemon at %s: %w", path, err)
	}
	return &report, nil
}

var errNoDaemon = errors.New("no daemon answers")
