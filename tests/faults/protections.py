"""Which line protects from which fault, and what stands there without it; `take_away.py` tries that out."""

from __future__ import annotations

from typing import NamedTuple

DISK, WORK = "tests/faults/test_disk.py", "tests/faults/test_work.py"
JOBS, DOCK = "tests/gui/test_jobs.py", "tests/gui/test_classify_dock.py"
LAYERS, VIEWER = "tests/gui/test_fault_layers.py", "tests/gui/test_fault_viewer.py"
HOLES, RESUMABLE = "tests/images/test_holes.py", "tests/maps/test_resumable.py"
STORE, CLI = "tests/models/test_versions.py", "tests/integration/test_cli.py"
TUNING, ELSEWHERE = "tests/learning/test_fine_tuning.py", "tests/gui/test_elsewhere.py"


class Protection(NamedTuple):
    """A line of the package, what it is changed to, and the test that must fail then."""

    fault: str
    file: str
    line: str
    without: str
    test: str


PROTECTIONS = tuple(
    Protection(*row)
    for row in (
        ("W1", "maps/predict.py", "if not (out_of_memory(error) or device_failed(error)):", "if True:", f"{WORK}::test_memory_runs_out_at_any_batch"),
        ("W1", "maps/predict.py", "self.classifier = without_gpu(self.classifier, error)", "raise error", "tests/models/test_gpu_faults.py::test_a_gpu_that_fails_leaves_the_work_to_the_cpu_with_one_notice"),
        ("W2", "widgets/worker.py", "except RuntimeError as error:  # torch's own errors", "except ZeroDivisionError as error:", f"{JOBS}::test_a_failure_is_one_message_and_the_next_run_works[raise RuntimeError('a torch error')-a torch error]"),
        ("W3", "widgets/worker.py", "There is not enough memory{asked}:", "There is not enough memory:", f"{WORK}::test_memory_that_ran_out_is_told_with_the_size_asked_for"),
        ("W4", "models/gpu_faults.py", "torch.AcceleratorError | NotImplementedError", "torch.AcceleratorError", f"{WORK}::test_an_operation_that_a_gpu_lacks_is_done_on_the_cpu_with_one_notice"),
        ("W5", "cli/commands.py", "except KeyboardInterrupt as stop:", "except ZeroDivisionError as stop:", f"{CLI}::test_an_interrupt_keeps_what_is_finished[2-130]"),
        ("W6", "cli/console.py", "for number in numbers}", "for number in numbers if number == signal.SIGINT}", f"{CLI}::test_an_interrupt_keeps_what_is_finished[15-143]"),
        ("W7", "widgets/jobs.py", "        self.failed.emit(_how_it_ended(ended))", "        return", f"{JOBS}::test_a_failure_is_one_message_and_the_next_run_works[raise SystemExit(3)-exit code 3]"),
        ("W8", "widgets/child_process.py", "stderr=self._errors", "stderr=subprocess.PIPE", f"{JOBS}::test_a_storm_of_warnings_is_no_notice_and_changes_nothing_here"),
        ("W9", "widgets/jobs.py", 'self.noticed.emit("A classification is running already: wait for it or cancel it.")\n            return', "pass", f"{JOBS}::test_a_second_run_is_refused_while_one_runs"),
        ("W10", "maps/predict.py", "                if stop:", "                if False:", f"{WORK}::test_a_stop_at_any_of_50_moments_leaves_no_thread_and_half_a_map_that_is_right"),
        ("W10", "images/tile_reader.py", "        self._pool.shutdown(wait=True, cancel_futures=True)", "        __import__(\"atexit\").register(self.take, 0)", f"{WORK}::test_stops_give_back_the_memory_of_the_process"),
        ("W11", "widgets/jobs.py", "running.heard > SILENT_SECONDS", "running.heard > 1e9", f"{JOBS}::test_a_process_that_says_nothing_is_told_and_cancel_still_answers"),
        ("L1", "widgets/session.py", "            self._drop(REMOVED)", "            pass", f"{LAYERS}::test_the_picture_is_deleted"),
        ("L2", "widgets/session.py", "return next((layer for layer, overlays in everything if overlay in overlays), None)", "return next((layer for layer in self._viewer.layers if layer.name == overlay.name), None)", f"{LAYERS}::test_the_picture_is_renamed"),
        ("L3", "widgets/session.py", "        self._drop(REPLACED)", "        pass", f"{LAYERS}::test_the_pixels_are_replaced"),
        ("L4", "widgets/session.py", "MOVED if _was_moved(plan) else \"\"", "\"\"", f"{LAYERS}::test_the_picture_is_moved"),
        ("L5", "widgets/overlay.py", "self.labels = self.labels if self._holds(self.labels) else None", "pass", f"{LAYERS}::test_the_result_is_meddled_with"),
        ("L6", "widgets/overlay.py", "        untouched = ~self.painted\n", "        untouched = np.ones_like(self.painted)\n", f"{LAYERS}::test_the_result_is_painted_on"),
        ("L7", "widgets/session.py", "def _finish(self, mineral_map: MineralMap) -> None:\n        if self._running is None:\n            return\n", "def _finish(self, mineral_map: MineralMap) -> None:\n", f"{LAYERS}::test_all_is_cleared_and_another_picture_has_the_name"),
        ("L8", "widgets/pictures.py", "first = np.array([*self.plane,", "first = np.array([*(0 for _ in self.plane),", f"{VIEWER}::test_sliders_are_moved_and_slicing_is_asynchronous"),
        ("V1", "widgets/background.py", "self._pool.shutdown(wait=False)", "self._pool.shutdown(wait=False, cancel_futures=True)", f"{VIEWER}::test_results_that_are_being_written_when_the_viewer_is_closed_are_written"),
        ("V1", "widgets/worker.py", "os._exit(0)  # the viewer is gone: nobody waits for what is being computed", "return", f"{JOBS}::test_the_process_ends_with_the_viewers"),
        ("V2", "widgets/classify.py", "        self.session.disconnect_viewer()\n", "", f"{VIEWER}::test_the_dock_is_closed_in_the_middle_and_opened_again_20_times"),
        ("V3", "widgets/classify.py", "self.session = Session(self._viewer, self.worker)", "self.session = Session(unwrap(__import__(\"napari\").current_viewer()), self.worker)", f"{DOCK}::test_two_viewers"),
        ("V4", "widgets/classify.py", "        self.destroyed.connect(partial(ClassifyDock._closed, self))\n", "        window = self._viewer.window._qt_window\n        window.close = (lambda close: lambda *a, **k: (self._closed(), close(*a, **k)))(window.close)\n", f"{VIEWER}::test_a_quit_that_is_called_off_stops_nothing"),
        ("D1", "models/versions.py", "                shutil.rmtree(staging, ignore_errors=True)\n        return", "                pass\n        return", f"{DISK}::test_a_disk_that_fills_up_at_any_byte_of_a_model"),
        ("D1", "learning/checkpoints.py", "        staging.unlink(missing_ok=True)", "        pass", f"{DISK}::test_a_disk_that_fills_up_at_any_byte_of_a_checkpoint"),
        ("D2", "models/versions.py", "        except OSError as error:\n            raise ModelError(\n                f\"the model could not be {what}", "        except ZeroDivisionError as error:\n            raise ModelError(\n                f\"the model could not be {what}", f"{DISK}::test_every_write_and_every_closing_may_fail"),
        ("D2", "models/durable.py", "        if error.errno not in _PASSING:", "        if True:", f"{DISK}::test_a_disk_that_refuses_once_is_asked_once_more"),
        ("D2", "models/durable.py", "        sync(file.fileno())", "        pass", f"{STORE}::test_files_are_synced_before_their_names_and_names_after"),
        ("D3", "maps/files.py", "    except OSError as error:\n        raise ResultError(\n            f\"the result could not", "    except ZeroDivisionError as error:\n        raise ResultError(\n            f\"the result could not", f"{DISK}::test_folders_that_must_not_be_written_to"),
        ("D3", "widgets/elsewhere.py", "        self._diary.write_what_was_refused()\n", "", f"{ELSEWHERE}::test_another_folder_is_offered_and_what_was_refused_is_written_there"),
        ("D4", "models/versions.py", "        except (OSError, UnicodeDecodeError):\n            return None, \"which", "        except UnicodeDecodeError:\n            return None, \"which", f"{DISK}::test_a_pointer_that_may_not_be_read"),
        ("D5", "models/versions.py", "if version.folder.name != name and not version.removed and not _damage(version):", "if False:", f"{STORE}::test_a_damaged_pointer_gives_the_newest_version_and_says_so"),
        ("D6", "models/versions.py", "if digest != version.card.weights_sha256:", "if False:", f"{STORE}::test_a_damaged_version_is_named_and_the_others_are_used"),
        ("D7", "models/store.py", "network.load_state_dict(checked_weights(weights, card, where=str(path)), strict=True)", "from safetensors.torch import load_file\n    network.load_state_dict(load_file(path), strict=True)", f"{DISK}::test_weights_that_are_cut_while_they_are_in_use_do_no_harm"),
        ("D8", "models/store_lock.py", "if path.lstat().st_mtime > before:", "if False:", f"{STORE}::test_orphans_are_swept_and_nothing_else"),
        ("D8", "models/versions.py", "                sweep_orphans(self.root)\n", "                pass\n", f"{STORE}::test_whoever_writes_sweeps_what_killed_processes_left"),
        ("D9", "models/durable.py", "if wait_s is None or not WINDOWS or", "if True or", f"{STORE}::test_windows_programs_that_hold_a_file_for_a_moment"),
        ("D10", "models/store_lock.py", "    except Timeout as error:", "    except ZeroDivisionError as error:", f"{STORE}::test_a_lock_that_is_never_given_back"),
        ("D11", "models/store_lock.py", "        lock.acquire()\n", "        if _number(holder):\n            raise Timeout(\"held\")\n        lock.acquire()\n", f"{DISK}::test_the_lock_of_a_killed_process_is_free"),
        ("D12", "models/versions.py", "return sorted(found)", "return sorted(found, key=lambda one: one[1].stat().st_mtime)", f"{DISK}::test_versions_keep_their_order_when_the_clock_does_not"),
        ("D13", "models/durable.py", "return name.encode(\"utf-8\", \"ignore\")[:_NAME_BYTES].decode(\"utf-8\", \"ignore\")", "return name[:_NAME_BYTES]", f"{DISK}::test_results_may_lie_anywhere"),
        ("D13", "models/durable.py", "return name.encode(\"utf-8\", \"ignore\")[-_NAME_BYTES:].decode(\"utf-8\", \"ignore\")", "return name[-_NAME_BYTES:]", f"{DISK}::test_files_of_any_name_are_written"),
        ("D14", "images/blocks.py", "                self._sound.give_up(window)", "                pass", f"{HOLES}::test_damaged_chunks_are_salvaged_as_no_data_whatever_the_windows[not zstd]"),
        ("D14", "images/blocks.py", "if self._gone is not None and self._gone(rows, columns):", "if False:", f"{HOLES}::test_damaged_chunks_are_salvaged_as_no_data_whatever_the_windows[gone]"),
        ("D14", "images/interpretation.py", "there if pixels.finite is None else there & pixels.finite", "pixels.finite", f"{RESUMABLE}::test_chunks_that_cannot_be_read_are_unprocessed_in_map_areas_and_grains[missing]"),
        ("D15", "maps/parts.py", "return content if hashlib.sha256(content).digest() == digest else None", "return content", f"{RESUMABLE}::test_damaged_parts_are_computed_again"),
        ("D15", "maps/resumable.py", "if self._parts is None or not self._all_sound(here[~seen]):", "if self._parts is None:", f"{RESUMABLE}::test_parts_with_damage_are_tried_again"),
        ("D15", "maps/resumable.py", "        self.task.add(here[part.seen], part.class_maps)\n", "", f"{RESUMABLE}::test_stopped_after_any_batch_and_gone_on_with_gives_the_same_bits"),
        ("T1", "learning/trainer.py", "if not math.isfinite(value):", "if False:", "tests/learning/test_training.py::test_a_loss_that_is_not_finite_stops_at_once"),
        ("T2", "learning/corrected_tiles.py", "    if len(samples) < 2:", "    if False:", f"{TUNING}::test_what_cannot_be_learnt_is_refused_with_counts"),
        ("T3", "learning/corrected_tiles.py", "    if unknown:", "    if False:", f"{TUNING}::test_what_cannot_be_learnt_is_refused_with_counts"),
        ("T4", "learning/corrected_tiles.py", "        mineral.code: named[mineral.name.casefold()]\n", "        mineral.code: mineral.code\n", f"{TUNING}::test_minerals_are_matched_by_name_added_and_left_out"),
        ("T5", "learning/before_after.py", "if forgotten > MOST_FORGOTTEN:", "if False:", f"{TUNING}::test_the_verdict"),
        ("T6", "learning/trainer.py", "            found |= {f\"optimizer.{index}.{name}\": tensor for name, tensor in values.items()}", "            pass", "tests/learning/test_checkpoints.py::test_a_training_that_is_killed_at_30_steps_ends_as_one_that_was_not"),
    )
)  # fmt: skip
