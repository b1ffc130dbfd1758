//! The life of a machine after its first boot, with the real program on a temporary sysroot and each boot loader's menu.
//!
//! ostree's cases of `tests/admin-test.sh`, which it runs once for every boot loader, and what became of them:
//!
//! | ostree | here |
//! |---|---|
//! | init-fs | `deploying::a_new_sysroot_has_its_own_directory_closed_to_others_and_nothing_else` |
//! | deploy command | `deploying::the_first_deployment_is_the_default_and_nothing_can_be_rolled_back_to` |
//! | --print-current-dir | the same: `path` in `status --json` |
//! | nice error for deploy with no stateroot | `deploying::another_stateroot_is_made_when_it_is_named_and_a_bad_name_is_refused`: a stateroot needs no making |
//! | layout | `deploying::what_boots_has_its_kernel_its_arguments_and_its_etc_where_they_belong` |
//! | staging does not work when not booted | `deploying::where_nothing_runs_a_deployment_is_finished_at_once_and_cannot_wait` |
//! | second deploy | `deploying::a_second_deployment_inherits_the_arguments_and_leaves_the_first_alone` |
//! | third deploy (swap) | the same; there is no farm of links to swap: an entry of a higher boot order is added |
//! | independent deploy | `deploying::another_stateroot_has_its_own_numbers_and_data_and_shares_the_menu` |
//! | fourth deploy (retain) | `deploying::no_deployment_goes_by_itself`: retaining is the rule, `prune` removes |
//! | deploy with modified /etc | `etc::local_changes_go_along_with_new_defaults_beside_them` |
//! | undeploy error invalid int | `deploying::a_number_that_is_none_is_refused_by_every_verb` |
//! | deploy --not-as-default | `deploying::a_deployment_can_be_made_and_not_be_booted_next`: the last decision counts |
//! | deploy --retain-rollback | `deploying::a_prune_keeps_what_a_rollback_goes_to` |
//! | set-default | `deploying::any_deployment_can_be_made_the_default_and_the_titles_stay` |
//! | upgrade bare | `etc::local_changes_go_along_with_new_defaults_beside_them` |
//! | upgrade failed when staged | `deploying::where_nothing_runs_a_deployment_is_finished_at_once_and_cannot_wait` |
//! | upgrade | `upgrading::an_upgrade_brings_the_new_files_and_boots_after_the_shutdown` |
//! | set-origin | `upgrading::the_origin_may_be_edited_and_upgrades_follow_it`: a text editor |
//! | undeploy | `deploying::what_is_undeployed_is_gone_and_the_rest_stays` |
//! | deploy with unknown OS | `deploying::an_image_that_is_not_there_is_refused_by_name` |
//! | deploy with multiple kernel args | `arguments::several_values_of_one_argument_keep_their_order_across_upgrades` |
//! | upgrade with multiple kernel args | the same |
//! | no duplicate version strings in title | `upgrading::a_version_is_in_a_title_once` |
//! | upgrade with and without override-commit | `upgrading::something_older_is_taken_only_when_it_is_meant` |
//! | upgrade to newer version older than branch tip | `upgrading::a_version_between_what_runs_and_the_newest_can_be_asked_for` |
//! | source title | `upgrading::status_says_where_a_deployment_came_from` |
//! | remote add: physical sysroot, nonphysical, config dir | nothing to port: an image is named with its registry, no remotes are configured |
//! | fifreeze test | nothing to port: nothing is frozen; the journal is emptied before GRUB reads, tests/powercut |
//!
//! Of the scripts around it (`tests/test-admin-deploy-*.sh`):
//!
//! | ostree | here |
//! |---|---|
//! | 2: GC of /boot, cleanup, same bootcsum, pins | `kernels`, `deploying::a_number_that_is_none_is_refused_by_every_verb` |
//! | grub2, syslinux, none | [`machine::Loader`]; `kernels::the_entries_are_there_whatever_other_menu_lies_beside_them` |
//! | uboot: uEnv.txt, device trees | nothing to port: U-Boot reads the entries; device trees are not copied |
//! | bootprefix | `deploying::what_boots_has_its_kernel_its_arguments_and_its_etc_where_they_belong`, with GRUB |
//! | karg | `arguments::arguments_are_added_replaced_and_deleted_one_by_one`; no arguments are taken from `/proc/cmdline` |
//! | nomerge | nothing to port: which changes win is a matter of the strategy and its rules (docs/etc-merge.md) |
//! | clean | `deploying::when_the_last_deployment_is_gone_a_prune_empties_the_store` |
//! | bootid-gc | `faults::what_a_killed_download_left_is_swept_by_the_next_boots_command` |
//! | emptyetc | `etc::an_empty_etc_beside_usr_etc_is_no_mistake_and_files_in_both_are` |
//! | etcmerge-cornercases | `etc`, and src/sysroot/etc_merge/tests |
//! | switch | `upgrading::switching_to_what_is_followed_changes_nothing_and_to_another_image_follows_that` |
//! | var | `upgrading::var_is_filled_by_the_first_deployment_and_never_again` |
//! | boot-counting-tries | `upgrading::an_image_whose_boots_are_judged_is_on_trial` |
//!
//! bootc's scenarios (`tmt/tests/booted`):
//!
//! | bootc | here |
//! |---|---|
//! | 26 download only | `rollbacks::a_download_is_forgotten_by_a_reboot_and_taken_when_it_is_released` |
//! | 35 preflight disk check | `space::a_layer_of_999_tib_is_refused_with_figures_before_anything_is_written` |
//! | 36 rollback | `rollbacks` |
//! | 45 resilience to corrupted state | `damage` |
//! | 46 /etc merge conflicts | `etc::a_file_against_a_directory_is_told_before_anything_is_staged` |

mod arguments;
mod committing;
mod damage;
mod deploying;
mod etc;
mod faults;
mod kernels;
pub mod machine;
mod rollbacks;
mod space;
mod upgrading;
