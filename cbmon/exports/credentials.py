"""How exports log in to the servers that they push to.

Rule: a secret is read when it is used, and shows nowhere.
"""

from __future__ import annotations

import base64

from pydantic import Field, field_validator

from cbmon.config.fields import Options, Secret, SecretFile, secret_from


class BasicAuthOptions(Options):
    """A user's name and password."""

    one_of = (("password",),)

    username: str = Field(min_length=1, description="The name; it holds no colon.")
    password: Secret | None = Field(None, description="The password.")
    password_file: SecretFile | None = Field(
        None, description="A file with the password, read at each use."
    )

    @field_validator("username")
    @classmethod
    def _without_colon(cls, name: str) -> str:
        if ":" in name:
            raise ValueError("a user name cannot hold a colon")
        return name

    def header(self) -> str:
        """The value of the Authorization header; SecretError when the file cannot be read."""
        secret = secret_from(self.password, self.password_file)
        password = secret.reveal() if secret else ""
        return "Basic " + base64.b64encode(f"{self.username}:{password}".encode()).decode()
