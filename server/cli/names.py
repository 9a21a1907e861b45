"""Names as people write them: an organisation's id, and a full name or the last part of one."""

from typing import Annotated

import typer

from server.cli.failures import fail

Organization = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="The organization's id.", show_default=False)]
MainKeyId = Annotated[str, typer.Argument(metavar="MAIN_KEY", help="The main key's id or name.", show_default=False)]
RotationId = Annotated[str, typer.Argument(metavar="ROTATION", help="The rotation's id or name.", show_default=False)]


def organization_name(organization: str) -> str:
    """Return the resource name of an organisation."""
    return organization if organization.startswith("organizations/") else f"organizations/{organization}"


def child_name(organization: str, collection: str, child: str) -> str:
    """Return the resource name of what is in an organisation; `child` may be the whole name already."""
    parent = f"{organization_name(organization)}/{collection}/"
    if "/" not in child:
        return parent + child
    if not child.startswith(parent):
        fail(f"{child} is not one of {parent.rstrip('/')}.")
    return child
