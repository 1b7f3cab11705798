package durable

import "path/filepath"

// IsInside reports whether path is dir or lies inside it, with symbolic links followed.
// What does not exist of a path counts as it is written.
func IsInside(path, dir string) bool {
	rel, err := filepath.Rel(resolve(dir), resolve(path))
	return err == nil && filepath.IsLocal(rel)
}

// resolve makes a path absolute and follows the symbolic links of the part that exists.
func resolve(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for existing, rest := path, ""; ; {
		if target, err := filepath.EvalSymlinks(existing); err == nil {
			return filepath.Join(target, rest)
		}
		parent := filepath.Dir(existing)
		if parent == existing {
			return path
		}
		existing, rest = parent, filepath.Join(filepath.Base(existing), rest)
	}
}
