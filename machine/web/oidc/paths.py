"""Where a browser goes to sign in by a provider, and where it comes back."""

from __future__ import annotations

from typing import Final

BEGIN_PATH: Final = "/sign-in/oidc"
RETURN_PATH: Final = "/sign-in/oidc/return"
