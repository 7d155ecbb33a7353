"""What the user trusts is handed on as it is."""

from vae_lightning.building.trust import Trust, trusting


def test_trust_is_the_same_on_the_command_line_of_a_child():
    trust = trusting(["my_nets", "odd name"], ["data.root", "callbacks"])
    assert Trust.from_text(trust.as_text()) == trust
