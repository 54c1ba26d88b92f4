"""The order of the tests: the longest file first, so that the other worker has all the rest to do."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "pipeline" not in item.keywords)
