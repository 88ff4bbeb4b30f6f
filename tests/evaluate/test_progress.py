from edgepose.evaluate.progress import Progress, Watch


def test_progress_tells_the_rate_and_what_is_left() -> None:
    assert str(Progress(150, 5000, 0, 10.0)) == "150 of 5000 images, 15.0 images/s, 5 min left"


def test_images_that_were_known_do_not_count_for_the_rate() -> None:
    text = str(Progress(1100, 1200, 1000, 50.0))
    assert text == "1100 of 1200 images (1000 known already), 2.0 images/s, 50 s left"


def test_before_the_first_image_there_is_no_rate_and_after_the_last_nothing_left() -> None:
    assert str(Progress(0, 4, 0, 0.0)) == "0 of 4 images"
    assert str(Progress(4, 4, 0, 0.01)) == "4 of 4 images, 400 images/s"


def test_a_watch_tells_the_start_and_each_image() -> None:
    told: list[Progress] = []
    watch = Watch(5, 3, told.append)
    watch.one_more()
    watch.one_more()
    assert [each.done for each in told] == [3, 4, 5]
    assert {(each.total, each.known) for each in told} == {(5, 3)}
