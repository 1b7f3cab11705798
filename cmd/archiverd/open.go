package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
)

// load reads the configuration that the flags and the environment name.
func (a *app) load() (*config.Config, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	return cfg, usage(err)
}

const (
	localConfig  = "config.yaml"
	systemConfig = "/etc/archiverd/config.yaml"
)

// findConfig returns the path of the configuration: of --config, $ARCHIVERD_CONFIG, or the
// first of the default files that exists. Root does not take that of the working directory,
// which may be anybody's: it names the commands that are run.
func (a *app) findConfig() (string, error) {
	if a.configPath != "" {
		return a.configPath, nil
	}
	if path := os.Getenv("ARCHIVERD_CONFIG"); path != "" {
		return path, nil
	}
	hasLocal, hasSystem := exists(localConfig), exists(systemConfig)
	switch ignored := hasLocal && os.Geteuid() == 0; {
	case hasLocal && !ignored:
		return localConfig, nil
	case hasSystem:
		if ignored {
			fmt.Fprintf(a.err, "archiverd: note: root does not read ./%s unless --config names it; this is %s\n", localConfig, systemConfig)
		}
		return systemConfig, nil
	case ignored:
		return "", usage(fmt.Errorf("root does not read the configuration of the working directory, because it names commands to run: add --config %s if it is yours", localConfig))
	}
	return "", usage(errors.New("no configuration: name one with --config FILE, or use --server, --username and --archive; config.example.yaml shows every key"))
}

// exists reports whether there is a file at path, or one that can't be looked at.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// reader opens the archive of --archive, or of the configuration, for reading. cfg is nil
// with --archive. The caller closes the archive.
func (a *app) reader() (*archive.Archive, *config.Config, error) { return a.open(a.archiveDir) }

// open opens the archive in dir for reading, or that of the configuration if dir is empty.
// cfg is nil with a dir. The caller closes the archive.
func (a *app) open(dir string) (*archive.Archive, *config.Config, error) {
	if dir != "" {
		r, err := archive.Open(dir)
		return r, nil, usage(err)
	}
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	r, err := archive.Open(cfg.Archive.Path)
	return r, cfg, err
}

// logger returns a logger to standard error with the level and format of the
// configuration. It makes every text in a record safe to print.
func (a *app) logger(cfg *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Log.Level, ReplaceAttr: func(_ []string, at slog.Attr) slog.Attr {
		switch v := at.Value.Any().(type) {
		case string:
			at.Value = slog.StringValue(safetext.Line(v))
		case error:
			at.Value = slog.StringValue(safetext.Line(v.Error()))
		}
		return at
	}}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}
