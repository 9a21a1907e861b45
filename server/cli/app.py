"""The command line's tree."""

import typer

from server.cli import (
    approvals,
    audit,
    content_keys,
    dev,
    health,
    keks,
    main_keys,
    organizations,
    receipts,
    rotations,
    wrapping_keys,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Bring-your-own-key management on an HSM.

    \b
    Variables that say where the service is and who you are:
      KEYSTEAD_ADDRESS     HOST:PORT
      KEYSTEAD_CA          a PEM file of who vouches for the service
      KEYSTEAD_CERT        a PEM file of your certificate
      KEYSTEAD_KEY         a PEM file of its private key
      KEYSTEAD_TOKEN_FILE  people, instead of a certificate: a file of mode 0600
                           that holds a bearer token; it is read for each call
    \b
    Exit status:
       0  done
       1  refused, or answered no; or the answer could not be kept
       2  wrong usage; nothing was asked of the service
      75  no answer, or not now: try again later
      78  (serve, hsm) the operator must act
    """,
)
app.command()(health.health)
app.add_typer(organizations.app, name="organizations")
app.add_typer(wrapping_keys.app, name="wrapping-keys")
app.add_typer(main_keys.app, name="main-keys")
app.add_typer(keks.app, name="keks")
app.add_typer(content_keys.app, name="content-keys")
app.add_typer(rotations.app, name="rotations")
app.add_typer(audit.app, name="audit")
app.add_typer(approvals.app, name="approvals")
app.add_typer(receipts.app, name="receipts")
app.add_typer(dev.app, name="dev")
