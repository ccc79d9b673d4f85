"""The shell of consoles: pages for signed-in people, the same at both sides."""
