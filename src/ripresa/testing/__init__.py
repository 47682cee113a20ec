"""For tests of workflows: fakes, contracts, simulation."""
