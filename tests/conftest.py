"""What all tests share: the catalogue, compiled losses, and a sampler of calls."""

from __future__ import annotations

import pytest

import symloss
from symloss import catalogue
from symloss.language.definition import Definition
from symloss.runtime.loss import Loss

DEFINITIONS = catalogue.find()


@pytest.fixture(params=sorted(DEFINITIONS))
def definition(request: pytest.FixtureRequest) -> Definition:
    """Every definition: a new one joins by existing."""
    return DEFINITIONS[request.param]


@pytest.fixture
def loss(definition: Definition) -> Loss:
    """The compiled loss of the definition."""
    return symloss.load(definition.name)
